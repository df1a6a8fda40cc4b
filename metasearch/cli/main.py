"""The command line. Every command reads or runs a sweep and prints a table, or JSON with ``--json``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from metasearch.cli import asking, cluster, handover, imports, logs, meta, questions, reporting, stores
from metasearch.cli.driving import drive
from metasearch.cli.options import (
    AddressOption,
    CpusOption,
    JsonOption,
    QuietOption,
    StoreOption,
    TrialArgument,
    answer,
    existing,
    named_trial,
    sweep_names,
)
from metasearch.core.errors import UserError

app = typer.Typer(
    name="metasearch",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(meta.app, name="meta")
app.add_typer(cluster.app, name="cluster")
app.add_typer(stores.app, name="store")
app.command("ask")(asking.ask)
app.command("tell")(asking.tell)
app.command("import")(imports.import_)
for exporting in (imports.to_optuna, imports.to_tensorboard, imports.to_mlflow, imports.to_wandb):
    app.command()(exporting)
handover.register(app)
questions.register(app)
reporting.register(app)
app.command("logs")(logs.logs)


def _tell_version(asked: bool) -> None:
    if asked:
        from metasearch.sweep.environment import own_version

        typer.echo(f"metasearch {own_version() or '(not installed)'}")
        raise typer.Exit


@app.callback()
def metasearch(
    version: Annotated[bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Hyperparameter and strategy search for language models that learns from every earlier sweep."""


OverrideOption = Annotated[list[str] | None, typer.Option("--override", "-o", metavar="A.B=C", help="Change one key of the file.")]
FileArgument = Annotated[Path, typer.Argument(help="Sweep file (YAML).")]


@app.command()
def validate(
    file: FileArgument,
    store: Annotated[
        str | None, typer.Option("--store", envvar="METASEARCH_STORE", help="Show what would be reused of its sweeps.")
    ] = None,
    override: OverrideOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a sweep file and show every fault at once."""
    from metasearch.cli.describe import plan, plan_lines
    from metasearch.store.archive import Store
    from metasearch.sweep.file import read
    from metasearch.sweep.resolving import resolve

    sweep = resolve(read(file, override or ()))
    planned = plan(sweep, None if store is None else Store(store))
    answer(planned, ["The sweep file is valid.", *plan_lines(sweep, planned)], as_json)


@app.command()
def launch(
    file: FileArgument,
    store: StoreOption = "./store",
    override: OverrideOption = None,
    address: AddressOption = None,
    cpus: CpusOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and the first configs; run nothing.")] = False,
    or_resume: Annotated[bool, typer.Option("--or-resume", help="Go on with the sweep if the store has it already.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once a driver of its own runs the sweep: here, or on the head of --address.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a new sweep to its end."""
    from metasearch.cli.describe import dry_run_lines, plan
    from metasearch.sweep import run
    from metasearch.sweep.file import read

    sweep_file = read(file, override or ())
    if dry_run:
        from metasearch.store.archive import Store
        from metasearch.sweep.resolving import resolve

        sweep = resolve(sweep_file)
        planned = plan(sweep, Store(store))
        answer(planned, dry_run_lines(sweep, planned), as_json)
        return
    if detach or (address or "").startswith("ray://"):
        from metasearch.cli.detached import detach as start_driver

        options = ["-q", *(["--or-resume"] if or_resume else []), *([] if cpus is None else ["--cpus", str(cpus)])]
        host = start_driver(sweep_file, store, address, options)
        follow = f"metasearch logs {sweep_file.name} --follow --store {store}"
        answer({"sweep": sweep_file.name, "host": host}, [f"{sweep_file.name} runs on {host}. Follow it with: {follow}"], as_json)
        return
    start = run.launch_or_resume if or_resume else run.launch
    drive(store, sweep_file.name, quiet, as_json, lambda **how: start(sweep_file, address=address, cpus=cpus, **how))


@app.command()
def resume(
    sweep: Annotated[str, typer.Argument(help="Name of the sweep.", autocompletion=sweep_names)],
    store: StoreOption = "./store",
    trials: Annotated[str | None, typer.Option(help="New limit of trials, or +20 for 20 more.")] = None,
    file: Annotated[Path | None, typer.Option(help="The sweep file, if its budget or resources changed.")] = None,
    override: OverrideOption = None,
    address: AddressOption = None,
    cpus: CpusOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with a sweep: finished trials stay, unfinished ones continue from their checkpoints."""
    from metasearch.sweep import run
    from metasearch.sweep.file import read

    if override and file is None:
        raise UserError("-o changes a key of a sweep file: name the file with --file.")
    asked = read(file, override or ()) if file is not None else None
    drive(
        store, sweep, quiet, as_json, lambda **how: run.resume(sweep, file=asked, trials=trials, address=address, cpus=cpus, **how)
    )


@app.command()
def status(
    sweep: Annotated[
        str | None, typer.Argument(help="Name of the sweep; the latest if left out.", autocompletion=sweep_names)
    ] = None,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """How a sweep stands: states, budget, the best so far, errors."""
    from metasearch.cli.controlled import control_lines, control_of
    from metasearch.cli.describe import status_lines, status_of
    from metasearch.cli.learned import reuse_lines, reuse_of

    opened = existing(store)
    name = sweep or opened.latest()
    history = opened.history(name)
    running = opened.is_running(name)
    reuse = reuse_of(opened, history)
    reused = [] if reuse is None else reuse_lines(reuse)
    control = control_of(opened, history)
    controlled = [] if control is None else control_lines(control)
    found = {**status_of(history, running), "reuse": reuse, "control": control}
    answer(found, [*status_lines(history, running), *reused, *controlled], as_json)


@app.command()
def watch(
    sweep: Annotated[str | None, typer.Argument(autocompletion=sweep_names)] = None,
    store: StoreOption = "./store",
    html: Annotated[Path | None, typer.Option(help="Keep the report in this file, too; a browser that shows it follows.")] = None,
    every: Annotated[float, typer.Option(min=1.0, help="Seconds from one report to the next.")] = 10.0,
) -> None:
    """Follow a running sweep from any terminal that sees the store. Ctrl-C ends the watching, not the sweep."""
    from metasearch.cli.describe import follow
    from metasearch.cli.reporting import write_report

    opened = existing(store)
    name = sweep or opened.latest()

    def report(last: bool) -> None:
        if html is not None:
            write_report(opened, name, html, reload_seconds=None if last else every)

    follow(opened, name, report, every)


@app.command("list")
def list_sweeps(store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """All sweeps of the store."""
    from metasearch.cli.tables import emit_rows

    value = "case when better = 'higher' then -best_loss else best_loss end as best_value"
    rows = existing(store).query(f"select *, {value} from sweeps order by opened").to_pylist()
    columns = ("sweep", "task", "state", "trials", "metric", "best_value", "best_strategy", "reason")
    emit_rows(rows, as_json=as_json, columns=columns)


@app.command()
def show(
    trial: TrialArgument,
    schedule: Annotated[bool, typer.Option("--schedule", help="The learning rates that it really followed.")] = False,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """One trial: its config, its curve, what was decided and why."""
    from metasearch.cli.controlled import schedule_lines, schedule_of
    from metasearch.cli.describe import trial_lines, trial_of

    opened = existing(store)
    sweep, number = named_trial(opened, trial)
    if schedule:
        followed = schedule_of(opened, sweep, number)
        answer(followed, schedule_lines(followed), as_json)
        return
    found = trial_of(opened, sweep, number)
    answer(found, trial_lines(found), as_json)


@app.command()
def stop(sweep: Annotated[str, typer.Argument(autocompletion=sweep_names)], store: StoreOption = "./store") -> None:
    """Ask the driver of a sweep to end it in order; `metasearch resume` goes on later."""
    opened = existing(store)
    opened.history(sweep)
    if not opened.is_running(sweep):
        print(f"{sweep} is not running.")
        return
    opened.request_stop(sweep)
    print(f"Asked {sweep} to stop. Its trials keep their checkpoints; go on with: metasearch resume {sweep} --store {store}")


@app.command()
def audit(sweep: Annotated[str, typer.Argument(autocompletion=sweep_names)], store: StoreOption = "./store") -> None:
    """Make every decision of a sweep again from the facts before it, and compare."""
    from metasearch.cli.describe import audit_lines

    lines, clean = audit_lines(existing(store), sweep)
    print("\n".join(lines))
    raise typer.Exit(0 if clean else 1)


@app.command()
def simulate(
    target: Annotated[str, typer.Option(help="Recorded curves: FILE.parquet:TASK, or STORE:TASK for one's own trials.")],
    searcher: Annotated[str, typer.Option(help="Chooses what to try next; asha, hyperband: random search with them.")] = "tpe",
    scheduler: Annotated[str | None, typer.Option(help="Decides which trial deserves the next slice; else what fits.")] = None,
    sources: Annotated[list[str] | None, typer.Option(help="Known beforehand, as the target, with commas between.")] = None,
    source_trials: Annotated[int, typer.Option(help="So many random trials of each source are known.")] = 30,
    corrupt: Annotated[str, typer.Option(help="Mislead with the sources: none, permute, reverse or mixed.")] = "none",
    descriptors: Annotated[bool, typer.Option(help="Whether the numbers that describe the tasks are known.")] = True,
    workers: Annotated[int, typer.Option(help="Virtual workers.")] = 1,
    budget: Annotated[float, typer.Option(help="In full trainings: the median length of the recorded curves.")] = 20.0,
    seed: Annotated[int, typer.Option()] = 0,
    as_json: JsonOption = False,
) -> None:
    """Run a search over recorded curves in virtual time: what would it have found, at what cost?"""
    from metasearch.cli.describe import replay_lines
    from metasearch.sweep.simulation import replay

    found = replay(
        target,
        searcher=searcher,
        scheduler=scheduler,
        workers=workers,
        budget=budget,
        seed=seed,
        sources=sources or (),
        source_trials=source_trials,
        corrupt=corrupt,
        descriptors=descriptors,
    )
    answer(vars(found), replay_lines(found), as_json)


@app.command()
def doctor(
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Check every node of the cluster instead: --address, or auto.")
    ] = False,
    store: StoreOption = "./store",
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check this machine: Python, torch, GPUs, Ray, ports, store, threads; or every node of a cluster."""
    from metasearch.cli.doctor import check_all, lines

    if cluster:
        from metasearch.cli.doctor_cluster import check_nodes

        checks = check_nodes(store, address)
    else:
        checks = check_all(store, address)
    answer([vars(check) for check in checks], lines(checks), as_json)
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command()
def schema() -> None:
    """The JSON Schema of a sweep file."""
    from metasearch.cli.tables import emit_json
    from metasearch.sweep import file

    emit_json(file.schema())


def main() -> None:
    """Entry point: a fault of the user's is one message and exit code 2, never a traceback."""
    try:
        app()
    except UserError as error:
        print(f"metasearch: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("metasearch: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
