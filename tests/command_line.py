"""Running a command as people do, for the tests of all methods."""

from collections.abc import Callable

from paperworks.cli import main


def command(name: str) -> Callable[..., tuple[int, str, str]]:
    """What runs `paperworks NAME …` given `capsys` and arguments: exit status, standard output, standard error."""

    def run(capsys, *arguments):
        try:
            main([name, *map(str, arguments)])
            status = 0
        except SystemExit as end:
            status = end.code or 0
        told = capsys.readouterr()
        return status, told.out, told.err

    return run
