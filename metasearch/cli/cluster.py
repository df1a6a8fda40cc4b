"""``metasearch cluster``: what starts a Ray cluster elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from metasearch.cli.options import JsonOption

app = typer.Typer(help="What starts a Ray cluster elsewhere, and what a machine does that leaves.", no_args_is_help=True)


@app.command()
def render(
    target: Annotated[str, typer.Argument(help="aws, gcp, on-premise, rayjob, raycluster, slurm, ssh or dockerfile.")],
    config: Annotated[Path | None, typer.Option(help="Cluster file (YAML); the defaults if left out.")] = None,
    gpus: Annotated[int | None, typer.Option(help="GPUs of each worker.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many workers.")] = None,
    store: Annotated[str | None, typer.Option(envvar="METASEARCH_STORE", help="Where every node finds the store.")] = None,
    override: Annotated[list[str] | None, typer.Option("--override", "-o", metavar="A.B=C", help="Change one key.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write into this folder instead of printing.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the config or script that starts a cluster, from one small file."""
    from metasearch import cluster
    from metasearch.cli.tables import emit_json
    from metasearch.store.local import LocalFiles

    flags = {"workers.gpus": gpus, "workers.count": workers, "store": store}
    changes = [f"{key}={value}" for key, value in flags.items() if value is not None]
    text = cluster.render(target, cluster.read(config, [*changes, *(override or ())]))
    name = cluster.TARGETS[target][0]
    if out is not None:
        LocalFiles(out).write_atomic(name, text.encode())
    if as_json:
        emit_json({"target": target, "file": name, "text": text})
    elif out is not None:
        print(f"Wrote {out / name}.")
    else:
        sys.stdout.write(text)


@app.command()
def leave(
    seconds: Annotated[float, typer.Option(min=0.0, help="How long trials that Ray starts here meanwhile are told too.")] = 10.0,
) -> None:
    """On a machine that is about to be taken away: its trials halt after their training step, and go on elsewhere."""
    from metasearch.cluster.leaving import leave as tell

    print(f"Told {tell(seconds)} trial(s) on this machine to end.")
