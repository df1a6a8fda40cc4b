"""Commands for the store itself: check, compact, merge, upgrade."""

from __future__ import annotations

from typing import Annotated

import typer

from metasearch.cli.options import JsonOption, StoreOption, answer, existing

app = typer.Typer(help="The store itself: check, compact, merge, upgrade.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def check(store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """Read everything and name what is torn, missing or foreign, with the remedy. Changes nothing; exit code 1 if there is any."""
    opened = existing(store)
    found = list(opened.check())
    lines = [f"{finding.path}: {finding.wrong}.\n  {finding.remedy}" for finding in found]
    lines.append(f"{len(opened.sweeps())} sweeps, {len(found)} faults.")
    answer([vars(finding) for finding in found], lines, as_json)
    raise typer.Exit(1 if found else 0)


@app.command()
def compact(store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """Make few files of many, so that questions over many sweeps are quick. Sweeps that run are left out; readers may go on."""
    opened = existing(store)
    taken, set_aside = opened.compact()
    left_out = sorted(set(opened.sweeps()) - set(taken))
    lines = [f"{len(taken)} sweeps are compacted.", *set_aside]
    lines += [f"left out, because a driver has them: {', '.join(left_out)}"] if left_out else []
    answer({"compacted": taken, "left_out": left_out, "set_aside": set_aside}, lines, as_json)


@app.command()
def merge(
    source: Annotated[str, typer.Argument(help="The store whose sweeps are copied.")],
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """Copy the sweeps of another store into this one, with checkpoints and thetas. Refuses sweeps of one name that differ."""
    from metasearch.store.archive import Store
    from metasearch.store.merging import merge as merged

    found = merged(existing(source), Store(store))
    lines = [f"{len(found.copied)} sweeps were copied into {store}: {', '.join(found.copied) or 'none'}"]
    lines += [f"{len(found.known)} were there already: {', '.join(found.known)}"] if found.known else []
    answer(vars(found), lines, as_json)


@app.command()
def upgrade(store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """Write logs of an older format version in the current one. Older ones stay readable: this is never needed."""
    from metasearch.store.schema import VERSION

    upgraded = existing(store).upgrade()
    files = sum(upgraded.values())
    told = f"{files} files of {sum(map(bool, upgraded.values()))} sweeps now have version {VERSION}."
    nothing = f"All {len(upgraded)} sweeps have format version {VERSION}: nothing to do."
    answer({"version": VERSION, "upgraded": upgraded}, [told if files else nothing], as_json)
