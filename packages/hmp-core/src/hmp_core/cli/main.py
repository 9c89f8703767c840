"""The entry point of ``hmp``: a lazy group over entry points, errors turned into messages and exit codes.

``hmp --version`` imports neither click nor any engine; a verb's module is imported when the verb is used.
"""

from __future__ import annotations

import os
import sys

_PACKAGES = ("hmp-core", "hmp-index", "hmp-cache", "hmp-catalog", "hmp-hydromodpy")


def main(arguments: list[str] | None = None) -> int:
    """Run ``hmp`` and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words == ["--version"]:
            print(_version())
            code = 0
        else:
            code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader of our output (`| head`) has gone: not an error of ours, and nothing more is to be said
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return "\n".join(found)


def _run(words: list[str]) -> int:
    import click

    from hmp_core.cli.verbs import hmp
    from hmp_core.errors import HmpError

    try:
        if "_HMP_COMPLETE" in os.environ:  # the shell asks what could follow
            hmp.main(args=words, prog_name="hmp")
        # not hmp.main: it ends the process with 1 when the reader of our output has gone
        with hmp.make_context("hmp", list(words)) as context:
            result = hmp.invoke(context)
    except (click.exceptions.Abort, KeyboardInterrupt, EOFError):
        print("interrupted", file=sys.stderr)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as error:
        return int(error.exit_code)
    except HmpError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        raise
    except OSError as error:  # the last net: what the system says is no bug, and one line tells it
        from hmp_core.durable import refusal

        ours = refusal(error)
        print(f"error: {ours}", file=sys.stderr)
        return ours.exit_code
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    raise SystemExit(main())
