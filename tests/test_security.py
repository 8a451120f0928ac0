"""The security checklist: what the house promises, and the tests that hold it. Those of this file
are about the house as a whole; a test here finds every one that is named.

Config
  Only a subclass of SafeLoader; bounded in bytes, depth, aliases; no key twice.
    test_yaml_reader.py::test_what_is_not_our_yaml_is_refused_where_it_stands
    test_yaml_reader.py::test_twenty_levels_and_fifty_aliases_are_still_read
    test_yaml_reader.py::test_a_megabyte_is_read_and_two_are_not
    test_yaml_reader.py::test_no_tag_runs_code
  No class, module or path of an import from a config; what may be plugged in has a name of ours.
    test_security.py::test_no_option_can_hold_more_than_plain_values
    test_security.py::test_no_block_of_a_config_takes_a_class_path
    test_floors.py::test_modules_are_imported_by_names_of_ours_alone
  Columns by quoted names, values of partitions escaped.
    log/test_mapping.py::test_any_name_can_be_mapped
    engines/test_spark_formats.py::test_csv_with_odd_names_and_quotes_comes_out_alike
    engines/test_spark_formats.py::test_parquet_columns_with_odd_names_come_out_alike
    engines/test_spark_parts.py::test_names_and_paths_mean_themselves
    store/test_parts.py::test_any_partition_value_becomes_one_folder_inside_the_table
    store/test_dataset.py::test_partition_values_come_back_exactly
  Secrets: ${env:} where it is read alone; hidden from what is said, left, and shown by Spark.
    test_config.py::test_an_environment_reference_stays_one_until_it_is_revealed
    test_config.py::test_an_environment_reference_elsewhere_is_refused
    faults/test_secrets.py::test_a_secret_in_an_address_is_said_by_no_verb
    faults/test_secrets.py::test_a_secret_of_the_environment_is_in_nothing_that_a_build_leaves
    engines/test_spark_parts.py::test_settings_that_hold_secrets_are_hidden_by_spark
    engines/test_spark.py::test_spark_hides_settings_that_hold_secrets

Code
  No pickle, eval, exec, shell, yaml.load, torch.load, F.expr, SQL of Spark, mode("overwrite"),
  rand, network, archive unpacked, extension type that unpickles: in rankdistill/ and jobs/.
    test_floors.py::test_no_file_does_what_is_forbidden
    test_floors.py::test_the_reader_sees_what_is_forbidden
    test_security.py::test_ruffs_rules_of_security_hold_but_where_it_is_said_why
  pyarrow >= 18, torch >= 2.6.
    test_security.py::test_packages_with_known_holes_are_not_allowed

What is read back
  safetensors alone, small heads, nothing unpickled; no byte believed before its hash; an index of
  the same run alone.
    student/test_export_faults.py::test_a_checkpoint_that_is_something_else_is_refused_whatever_its_hash
    student/test_export_faults.py::test_a_foreign_file_is_an_error_and_runs_no_code_even_if_the_manifest_vouches_for_it
    student/test_export_faults.py::test_a_program_that_smuggles_a_pickle_in_is_never_loaded
    student/test_export_faults.py::test_a_bit_that_flips_anywhere_is_found
    student/test_export_faults.py::test_nothing_is_parsed_before_its_hash_has_been_compared

What is written
  Contained; no link followed; a data set recognised before anything goes; no overlap.
    store/test_place.py::test_a_dangerous_place_is_refused_and_nothing_is_touched
    store/test_place.py::test_an_output_may_lie_beside_what_a_glob_reads_never_inside
    store/test_place.py::test_a_foreign_delta_table_named_builds_is_not_ours
    store/test_dataset.py::test_gc_leaves_live_builds_and_foreign_files_alone
    faults/test_places_of_verbs.py::test_a_verb_leaves_a_place_that_is_not_its_own
    security/test_own_files.py::test_a_link_within_a_data_set_is_not_written_through
    security/test_own_files.py::test_a_link_within_a_simulated_log_is_not_written_through
    security/test_own_files.py::test_no_file_is_opened_through_a_link
  Files 0640, folders 0750, or less where the umask says so.
    security/test_every_verb.py::test_what_verbs_leave_is_for_the_owner_and_the_group_alone
    security/test_own_files.py::test_others_get_nothing_and_a_stricter_umask_stays
    test_security.py::test_rights_are_given_in_one_place
  Pages: escaped, no script, nothing from elsewhere; ids cut at 200 characters, or hashed with salt.
    quality/test_report.py::test_what_came_from_the_log_is_shown_as_text
    quality/test_report.py::test_the_page_forbids_itself_all_but_its_own_style
    quality/test_report.py::test_ids_are_cut_and_can_be_hidden
    quality/test_diff_page.py::test_what_came_from_the_log_is_shown_as_text
    quality/test_diff_page.py::test_hidden_ids_are_in_no_form_of_it_and_stay_equal_among_themselves
    quality/test_request_page.py::test_ids_and_values_of_the_log_are_shown_as_text
    quality/test_request_page.py::test_ids_are_cut_and_long_requests_too
    cli/test_quality.py::test_hidden_ids_are_in_none_of_the_files
    cli/test_comparing.py::test_ids_can_be_hidden_wherever_the_difference_is_told
  Terminal, Markdown and logs: no control characters, no markup.
    test_errors.py::test_terminal_escapes_are_shown_and_not_obeyed
    test_errors.py::test_whatever_is_printed_is_printable
    quality/test_report.py::test_markdown_and_junit_show_it_as_text_too
    quality/test_report.py::test_a_cell_of_markdown_does_nothing
    quality/test_diff_page.py::test_markdown_shows_it_as_text_too
    cli/test_card.py::test_names_from_log_and_config_do_nothing_in_the_card

Network
  None in any verb, none for the demo, no extension fetched by DuckDB.
    security/test_every_verb.py::test_no_verb_asks_for_the_network_or_needs_it
    security/test_every_verb.py::test_what_asks_for_the_network_is_refused_and_told
    test_packaging.py::test_the_installed_wheel_runs_the_demo_outside_the_checkout
    test_security.py::test_duckdb_fetches_no_extension

Limits, told in README: candidates of a request, rows that it may give, values of a segment;
ids and columns have none.
    faults/test_skew.py::test_what_is_cut_from_a_huge_request_is_counted
    faults/test_skew.py::test_a_request_that_would_blow_up_is_refused
    faults/test_skew.py::test_as_much_as_one_request_may_give_is_drawn_and_not_one_more
    cli/test_mistakes.py::test_a_segment_column_of_too_many_values_is_told
"""

from __future__ import annotations

import ast
import datetime
import importlib
import pkgutil
import re
import tomllib
import typing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import ValidationError

import rankdistill
from rankdistill.config import Options
from rankdistill.engines.embedded import connect

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder in ("rankdistill", "jobs")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
NAMED = re.findall(r"^    (\S+)::(\w+)$", str(__doc__), re.MULTILINE)
# Where a rule of ruff about security is set aside: how often, and why it may be.
ASIDE = {
    ("rankdistill/quality/report/page.py", "S704"): (3, "our own docs/measures, and our own SVG"),
    ("rankdistill/quality/report/html.py", "S704"): (2, "our own picture and style sheet"),
    ("rankdistill/student/evaluation/page.py", "S704"): (1, "our own SVG, its texts escaped"),
    ("rankdistill/quality/report/svg.py", "S314"): (1, "XML that we have just drawn"),
    ("rankdistill/engines/spark_session.py", "S603"): (1, "java -version, no shell"),
    ("rankdistill/doctor.py", "S603"): (1, "a fixed command, no shell"),
    ("rankdistill/differ.py", "S608"): (2, "names of the contract's keys and of our own tables"),
}
PLAIN = {str, int, float, bool, type(None), datetime.date}
HOLDERS = {dict, list, tuple, typing.Union, type(int | str)}
CLASS_PATHS = ("_target_", "_component_", "class_path", "__class__", "py/object", "!!python/object")


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_what_is_said_to_hold_a_promise_is_there(file: str, test: str) -> None:
    body = ast.parse((TESTS / file).read_text(encoding="utf-8")).body
    assert test in {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_the_list_is_read_whole() -> None:
    assert len(NAMED) == str(__doc__).count("::") > 50


def all_options() -> list[type[Options]]:
    for module in pkgutil.walk_packages(rankdistill.__path__, "rankdistill."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [each for each in _below(Options) if each.__module__.startswith("rankdistill.")]


def _below(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def leaves(kind: Any) -> Iterator[Any]:
    """What values of an annotation are made of, but options, which are looked at themselves."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal or (isinstance(kind, type) and issubclass(kind, Options)):
        return
    if origin is Annotated:
        inner = inner[:1]
    elif origin is None or origin not in HOLDERS:
        yield kind
    for each in inner:
        yield from () if each is Ellipsis else leaves(each)


def test_no_option_can_hold_more_than_plain_values() -> None:
    pytest.importorskip("torch")
    options = all_options()
    assert len(options) > 100
    held = {
        f"{each.__name__}.{name}": set(leaves(field.annotation)) - PLAIN
        for each in options
        for name, field in each.model_fields.items()
    }
    assert {name: kinds for name, kinds in held.items() if kinds} == {}


def test_a_class_among_the_options_would_be_seen() -> None:
    found = set(leaves(dict[str, list[Annotated[type[int], ""] | None]]))
    assert found - PLAIN == {type[int]}


def test_no_block_of_a_config_takes_a_class_path() -> None:
    pytest.importorskip("torch")
    for kind in all_options():
        for key in CLASS_PATHS:
            with pytest.raises(ValidationError) as fault:
                kind.model_validate({key: "os.system"})
            assert "extra_forbidden" in {
                error["type"] for error in fault.value.errors() if error["loc"] == (key,)
            }


def test_ruffs_rules_of_security_hold_but_where_it_is_said_why() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]
    assert "S" in lint["lint"]["select"]
    assert {rule for rule in lint["lint"]["ignore"] if re.fullmatch(r"S\d*", rule)} == {"S101"}
    ours = {
        place: rules
        for place, rules in lint["lint"]["per-file-ignores"].items()
        if not place.startswith(("tests/", "bench/"))
    }
    assert ours == {"rankdistill/engines/*": ["S608"]}
    aside: Counter[tuple[str, str]] = Counter()
    for path, text in SOURCES.items():
        for codes in re.findall(r"#\s*(?:ruff:\s*)?noqa\b:?\s*([A-Z0-9, ]*)", text):
            rules = [code.strip() for code in codes.split(",") if code.strip()]
            assert rules, f"{path}: a noqa without its rule"
            aside.update((path, rule) for rule in rules if re.fullmatch(r"S\d*", rule))
    assert dict(aside) == {key: number for key, (number, _) in ASIDE.items()}


def test_packages_with_known_holes_are_not_allowed() -> None:
    """CVE-2023-47248 (pyarrow below 14.0.1; GHSA-mw35-8rx3-xf9r), CVE-2025-32434 (torch < 2.6)."""
    wanted = re.findall(r'"(pyarrow|torch)\b([^"]*)"', (ROOT / "setup.py").read_text())
    assert dict(wanted) == {"pyarrow": ">=18", "torch": ">=2.6"}
    assert all(bound in (">=18", ">=2.6") for _, bound in wanted)


def test_duckdb_fetches_no_extension() -> None:
    query = (
        "SELECT value FROM duckdb_settings() WHERE name IN "
        "('autoinstall_known_extensions', 'autoload_known_extensions')"
    )
    with connect(threads=1) as connection:
        assert connection.sql(query).fetchall() == [("false",), ("false",)]
    callers = [path for path, text in SOURCES.items() if "duckdb.connect(" in text]
    assert callers == ["rankdistill/engines/embedded.py"]


def test_rights_are_given_in_one_place() -> None:
    """Files are made with those of `private`, or with what `kept_from_others` leaves of more."""
    rights = [path for path, text in SOURCES.items() if re.search(r"\b0o[0-7]+", text)]
    assert rights == ["rankdistill/private.py"]
