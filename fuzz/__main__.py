"""Runs the fuzzers, each a bounded number of times: `python -m fuzz`."""

import subprocess
import sys
from pathlib import Path

import click

from fuzz import corpus

KINDS = ("exposition", "targets", "facts")
ROOT = Path(__file__).parents[1]


@click.command(context_settings={"show_default": True})
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
@click.option("--runs", default=50_000, help="Inputs for each fuzzer.")
@click.option("--seconds", default=120, help="Seconds for each fuzzer, if they are over before the inputs.")
@click.option("--seed", default=1, help="Of the randomness; 0 takes another one each time.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=ROOT / "run" / "fuzz")
def main(kinds: tuple[str, ...], runs: int, seconds: int, seed: int, folder: Path) -> None:
    """Fuzz KINDS, all when none is given. What is found lies in FOLDER as `crash-…`; the exit status is 1 then."""
    failed = [kind for kind in kinds or KINDS if not _fuzz(kind, runs, seconds, seed, folder.resolve())]
    if failed:
        raise click.ClickException(f"findings in {', '.join(failed)}: see {folder}/*/crash-*")


def _fuzz(kind: str, runs: int, seconds: int, seed: int, folder: Path) -> bool:
    """Whether nothing was found."""
    inputs, findings = folder / kind / "corpus", folder / kind
    count = corpus.write(kind, inputs)
    click.echo(f"{kind}: {count} seeds, up to {runs} inputs or {seconds} s")
    limits = [f"-runs={runs}", f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=512", "-timeout=10"]
    tokens = findings / "tokens.dict"
    corpus.write_dictionary(tokens)
    where = [f"-dict={tokens}", f"-artifact_prefix={findings}/", str(inputs)]
    command = [sys.executable, "-m", f"fuzz.{kind}_fuzz", *limits, "-print_final_stats=1", *where]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    main()
