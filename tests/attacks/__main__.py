"""``python -m tests.attacks``: attack the program, many times, and print a table of what was tried and survived."""

import sys
from datetime import date

import click

from tests.attacks.attack import attacks, run_attack

HEAD = "| attack | what happens, and what survives it | tried | survived | blows | seconds |\n|---|---|---|---|---|---|"


@click.command()
@click.argument("names", nargs=-1)
@click.option("--seed", default=0, show_default=True, help="settles every case")
@click.option("--cases", default=0, help="of each attack; 0 takes its own number")
@click.option("--first", default=0, help="number of the first case, to try one again")
@click.option("--short", is_flag=True, help="as few cases as the test suite tries")
def main(names: tuple[str, ...], seed: int, cases: int, first: int, short: bool) -> None:
    """Try the attacks NAMES, all of them by default; exit status 1 where something was lost."""
    known = attacks()
    if unknown := set(names) - known.keys():
        raise click.UsageError(f"unknown attack {min(unknown)!r}: known are {', '.join(known)}")
    print(f"seed {seed}, {date.today()}\n\n{HEAD}", flush=True)
    lost = 0
    for attack in (known[name] for name in names or known):
        if missing := attack.missing():
            print(f"| {attack.name} | {attack.what} | 0 | needs {missing} | | |", flush=True)
            continue
        outcome = run_attack(attack, cases or (attack.short if short else attack.cases), seed, first)
        survived = outcome.tried - len(outcome.lost)
        lost += len(outcome.lost)
        counts = f"{outcome.tried} | {survived} | {outcome.blows} | {outcome.seconds:.0f}"
        print(f"| {attack.name} | {attack.what} | {counts} |", flush=True)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
