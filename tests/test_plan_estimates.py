"""What `plan` estimates of a sample of requests is what a build then writes, within a fifth."""

from __future__ import annotations

from collections import Counter

import duckdb
import pytest

from rankdistill import plan as plans
from rankdistill.build import build
from rankdistill.plan import plan
from rankdistill.settings import Settings

WITHIN = 0.2
# Lists from 2 to about 400 candidates, most of them short; the teacher ranked a third.
ROWS = """
SELECT r AS request_id, (hash(r, j, {seed}) % 1000000)::BIGINT AS item_id,
    TIMESTAMPTZ '2026-11-01 00:00:00+00' + to_hours((hash(r, {seed}) % 48)::BIGINT) AS request_time,
    (hash(r, 'user', {seed}) % 500)::BIGINT AS user_id,
    CASE WHEN 3 * j < size + 6 THEN j END::INTEGER AS rank, (j % 7 = 2)::INTEGER AS click
FROM (SELECT r, size, UNNEST(range(1, size + 1)) AS j FROM (
    SELECT r, (2 + 400 * pow((hash(r, 'size', {seed}) % 10000) / 10000, 6))::BIGINT AS size
    FROM range({num_requests}) AS requests(r)))
"""


def skewed(folder, seed, num_requests):
    path = folder / "log.parquet"
    sql = ROWS.format(seed=seed, num_requests=num_requests)
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = 'UTC'; COPY ({sql}) TO '{path}'")
    log = {"path": str(path), "columns": {"feedback": ["click"]}, "stage": {"from": "presence"}}
    samples = {"pointwise": {}, "pairwise": {"strategy": {"kind": "topk"}}, "listwise": {}}
    return Settings.model_validate(
        {
            "output": str(folder / "feed"),
            "log": log,
            "samples": samples,
            "quality": {"fail_on": "never", "measure": False},
        }
    )


def off(estimated, made):
    """{what: how far off, as a share of what was made}."""
    return {name: abs(estimated[name] / made[name] - 1) for name in made}


def of_build(made):
    found = Counter()
    for part in made.parts:
        if part.table != "rejects":
            found[part.table] += part.num_rows
            found[part.table, "bytes"] += part.num_bytes
    for dt, counts in made.by_dt.items():
        found |= {(dt, name): counts[name] for name in ("requests", "candidates")}
    return found


def of_plan(planned):
    found = {row["table"]: row["rows"] for row in planned.tables}
    found |= {(row["table"], "bytes"): row["bytes"] for row in planned.tables}
    for day in planned.days:
        found |= {(day["dt"], name): day[name] for name in ("requests", "candidates")}
    return found


@pytest.mark.fault("16", "estimates of a plan, of lists of very unlike length", times=20)
def test_estimates_are_within_a_fifth_of_what_a_build_makes(tmp_path, monkeypatch, trial):
    settings = skewed(tmp_path, trial, num_requests=8_000)
    monkeypatch.setattr(plans, "SMALL", 1)
    monkeypatch.setattr(plans, "LEAST_ROWS", {"rows": 1})
    monkeypatch.setattr(plans, "SAMPLE", 0.15)
    planned = plan(settings)
    assert plans.FEW_REQUESTS <= planned.looked_at < 2_000
    far = off(of_plan(planned), of_build(build(settings)))
    assert len(far) == 12
    assert max(far.values()) < WITHIN, far


def test_a_log_of_few_requests_is_looked_at_whole_or_the_plan_says_how_few(tmp_path, monkeypatch):
    settings = skewed(tmp_path, 0, num_requests=300)
    monkeypatch.setattr(plans, "SMALL", 1)
    assert plan(settings).share == 1
    monkeypatch.setattr(plans, "LEAST_ROWS", {"rows": 1})
    monkeypatch.setattr(plans, "SAMPLE", 0.1)
    planned = plan(settings)
    assert f"rest on {planned.looked_at} requests alone" in planned.warnings[0]
    assert f"(estimated from {planned.looked_at} requests, 10.0% of all)" in planned.text()
