"""LAYOUT LOG OUT: the command line of every peer."""

from __future__ import annotations

import argparse


def chosen(*options: str) -> argparse.Namespace:
    """layout, log and out, and further options that take a text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("layout", choices=("rows", "lists"))
    parser.add_argument("log")
    parser.add_argument("out")
    for option in options:
        parser.add_argument(option)
    return parser.parse_args()
