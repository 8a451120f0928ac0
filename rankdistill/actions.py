"""What each verb does, between the command line and the rooms."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rankdistill import build as builder
from rankdistill import plan as planner
from rankdistill import validate as validator
from rankdistill.config import load
from rankdistill.doctor import examine
from rankdistill.document import apply_overrides, read_document, read_file
from rankdistill.errors import ConfigError, UserErrors, unknown
from rankdistill.explain import explained
from rankdistill.log.days import Asked
from rankdistill.log.simulate import SimulateOptions
from rankdistill.log.simulate import simulate as simulate_log
from rankdistill.quality.cookbook import cookbook, measure_of
from rankdistill.quality.text_table import text_table
from rankdistill.settings import Settings, read_settings
from rankdistill.store.dataset import DataSet
from rankdistill.store.outputs import refuse_table
from rankdistill.summary import build_summary, span_of
from rankdistill.verbs import Run
from rankdistill.verdict import keep_beside, kept_gates


def settings(
    config: str,
    overrides: list[str] | None,
    engine: str | None,
    output: str | None,
    paths: list[str] | None,
) -> Settings:
    """The config file with what the command line says on top."""
    chosen = list(overrides or [])
    found = read_settings(config, chosen)
    changes: dict[str, Any] = {}
    if engine is not None and engine != found.engine.kind:
        changes["engine"] = _engine(engine)
    if output is not None:
        changes["output"] = output
    if paths:
        where = paths[0] if len(paths) == 1 else list(paths)
        changes["log"] = found.log.model_copy(update={"path": where, "table": None})
    return found.model_copy(update=changes)


def _engine(kind: str) -> Any:
    from rankdistill.engines.duckdb_options import DuckDbOptions
    from rankdistill.engines.spark_options import SparkOptions

    kinds = {"duckdb": DuckDbOptions, "spark": SparkOptions}
    if kind not in kinds:
        raise unknown("E0107", "engine", kind, list(kinds), "--engine ")
    return kinds[kind]()


def data_set(config: str | None, data: str | None) -> DataSet:
    """The data set at `data`, or at the config's output."""
    if (config is None) == (data is None):
        raise ConfigError("E0105", "give --config (its output is meant) or --data, one of them")
    return DataSet.open(data if data is not None else read_settings(str(config)).output)


def simulate(run: Run, out: str, config: str | None, overrides: list[str]) -> None:
    document = read_file(config) if config else read_document("{}", "--set")
    options = load(SimulateOptions, apply_overrides(document, overrides))
    refuse_table(out)
    run.notify("started", rows=options.num_requests * options.days)
    made = simulate_log(
        Path(out), options, on_progress=lambda done: run.notify("progress", rows=done)
    )
    state = "already there" if made.up_to_date else "written"
    facts = {
        "log": str(made.log),
        "requests": made.num_requests,
        "rows": made.num_rows,
        "up_to_date": made.up_to_date,
    }
    run.facts.update(facts)
    run.show(
        f"{made.num_rows:,} rows of {made.num_requests:,} requests {state} in {made.log}", facts
    )


def validate(run: Run, chosen: Settings) -> None:
    report = validator.validate(chosen)
    run.facts["validate"] = report.as_dict()
    run.show(report.text(), report.as_dict())
    if report.faults:
        raise UserErrors(report.faults)


def plan(run: Run, chosen: Settings, exact: bool) -> None:
    made = planner.plan(chosen, exact=exact)
    run.facts["plan"] = made.as_dict()
    run.show(made.text(), made.as_dict())


def build(
    run: Run,
    chosen: Settings,
    dts: list[str] | None,
    first: str | None,
    last: str | None,
    force: bool,
) -> None:
    if dts and (first or last):
        raise ConfigError("E0105", "give --dt, or --from and --to, not both")
    asked = Asked(frozenset(dts) if dts else None, first, last)
    run.data_set = chosen.output
    made = builder.build(chosen, asked=asked, force=force, notify=run.notify)
    tell(run, chosen, made)


def tell(run: Run, chosen: Settings, made: builder.BuildResult) -> None:
    facts = {
        "data_set": chosen.output,
        "build": made.build.number,
        "is_new": made.is_new,
        "door": dict(made.door),
        "days": {dt: dict(counts) for dt, counts in made.by_dt.items()},
        "warnings": list(made.warnings),
        "notes": list(made.notes),
        "parts": len(made.parts),
        "bytes": sum(part.num_bytes for part in made.parts),
        "features": [dict(table) for table in made.features],
    }
    run.facts.update(facts)
    for warning in made.warnings:
        run.say(f"warning: {warning}")
    run.show(build_summary(made, chosen.output), facts)


def files(run: Run, found: DataSet, table: str, build: int | None, dt: str | None) -> None:
    of = found.build(build) if build is not None else None
    paths = found.files(table, of, dt)
    run.show("\n".join(paths), {"table": table, "files": paths})


def export_samples(
    run: Run,
    found: DataSet,
    kind: str,
    out: str,
    build: int | None,
    dts: list[str],
    features: str | None,
    options: dict[str, Any],
) -> None:
    from rankdistill.export.asked import Asked
    from rankdistill.export.export import export_samples as export

    names = None if features is None else tuple(name.strip() for name in features.split(","))
    asked = Asked(features=names, **options)
    manifest = export(found, out, kind, asked, build=build, dts=dts, notify=run.notify)
    run.facts["export"] = manifest
    for note in manifest["notes"]:
        run.say(f"warning: {note}")
    run.show(_exported(manifest, out), manifest)


def _exported(manifest: dict[str, Any], out: str) -> str:
    from rankdistill.export.left_out import LEFT_OUT

    lines = [
        f"{manifest['format']} of {manifest['table']}, build {manifest['build']}, in {out}",
        f"read  {manifest['rows_read']:,} rows",
    ]
    for reason, num_rows in manifest["left_out"].items():
        lines.append(f"left out  {num_rows:,} {LEFT_OUT[reason]}")
    shown = [{"file": f["name"], "rows": f["rows"]} for f in manifest["files"]]
    return "\n".join([*lines, *(["", text_table(shown)] if shown else [])])


def mine_negatives(
    run: Run,
    found: DataSet,
    out: str,
    config: str | None,
    overrides: list[str],
    engine: str | None,
) -> None:
    from rankdistill.mining.mine import mine
    from rankdistill.mining.options import read_mine_options
    from rankdistill.mining.report import mining_report

    options = read_mine_options(config, overrides)
    if engine is not None and engine != options.engine.kind:
        options = options.model_copy(update={"engine": _engine(engine)})
    manifest = mine(options, found, out, notify=run.notify)
    run.facts["mining"] = manifest
    run.show(mining_report(manifest, out), manifest)


def versions(run: Run, found: DataSet) -> None:
    current = found.current()
    rows: list[dict[str, Any]] = [
        {
            "build": version.number,
            "current": current is not None and version.number == current.number,
            "kind": version.kind,
            "created_at": version.created_at.isoformat(timespec="seconds"),
            "days": sorted(version.days),
            "seed": version.seed,
            "config": version.config_hash[:12],
            "tables": {dt: dict(day.tables) for dt, day in version.days.items()},
        }
        for version in found.versions()
    ]
    shown = [{k: v for k, v in row.items() if k != "tables"} for row in rows]
    for row in shown:
        row["current"] = "*" if row["current"] else ""
        row["days"] = span_of(row["days"])
    run.show(text_table(shown) if shown else "no builds yet", rows)


def rollback(run: Run, found: DataSet, number: int) -> None:
    run.data_set = str(found.root)
    made = found.rollback(number)
    for warning in keep_beside(found, made, kept_gates(made)):
        run.say(f"warning: {warning}")
    run.facts["build"] = made.number
    run.show(f"build {made.number} is build {number} again", {"build": made.number})


def gc(run: Run, found: DataSet, retention_hours: float, keep: int, dry_run: bool) -> None:
    run.data_set = str(found.root)
    gone = found.gc(retention_hours=retention_hours, keep_builds=keep, dry_run=dry_run)
    run.facts["removed"] = gone
    verb = "would be removed" if dry_run else "removed"
    run.show("\n".join([*gone, f"{len(gone)} files {verb}"]), {"removed": gone, "dry_run": dry_run})


def verify(run: Run, found: DataSet, number: int | None, quick: bool) -> int:
    build = found.build(number) if number is not None else found.newest()
    report = found.verify(content=not quick, build=build)
    run.facts["verify"] = dataclasses.asdict(report)
    report.refuse_faults(found.root)
    hashes = {} if quick else {t: str(found.content_hash(t, build=build)) for t in build.tables}
    lines = [
        f"build {report.build}: {report.num_parts} parts, {report.num_bytes:,} bytes, all good"
    ]
    lines += [f"{table:10} {value}" for table, value in hashes.items()]
    lines += [f"{len(report.strays)} strays (harmless; gc removes them)"] if report.strays else []
    run.show("\n".join(lines), {**dataclasses.asdict(report), "content_hash": hashes})
    return 0


def doctor(run: Run) -> int:
    found = examine()
    run.facts["doctor"] = found.as_dict()
    run.show(found.text(), found.as_dict())
    return found.exit_code


def explain(run: Run, code: str) -> None:
    measure = measure_of(code)
    if page := cookbook().get(measure):
        run.show(page.rstrip(), {"code": measure, "text": page})
        return
    found = [{"code": name, "text": text} for name, text in explained(code).items()]
    facts = found[0] if len(found) == 1 else {"codes": found}
    run.show("\n".join(f"{each['code']}: {each['text']}" for each in found), facts)
