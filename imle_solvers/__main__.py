"""The program `python -m imle_solvers`: what is installed, and whether it works; and checks of an adapter."""

from __future__ import annotations

import argparse
import os
import sys

DESCRIPTION = """Says what is installed, which adapters and backends there are, and runs a self-test. With "check", runs
the checks that every adapter must pass."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the program.

    Returns:
        Its exit status: 0 if all is well, 1 if a test failed, 2 if there is nothing of the name given.
    """
    parser = argparse.ArgumentParser("python -m imle_solvers", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", metavar="check")
    check = commands.add_parser("check", help="check an adapter", description="Checks an adapter.")
    check.add_argument(
        "target",
        help="package:Adapter, where that is an adapter, a class or function that makes one, or a subclass of "
        "AdapterContract; or the name of a registered adapter",
    )
    check.add_argument("arguments", nargs="*", metavar="name=value", help="what the adapter is made with")
    options = parser.parse_args(arguments)
    if options.command == "check":
        from imle_solvers.command_line.checking import check_target

        return check_target(options.target, options.arguments)
    from imle_solvers.command_line.installation import show_installation
    from imle_solvers.command_line.self_test import run_self_test

    show_installation()
    return run_self_test()


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # as when `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
