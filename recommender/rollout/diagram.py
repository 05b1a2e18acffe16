"""Draws the transition table: `python -m recommender.rollout.diagram > docs/workflow-states.md`."""

import sys

from recommender.rollout.states import ACTIVE, TERMINAL, TRANSITIONS, WAITING_FOR_PERSON

_HEAD = """\
<!-- Generated from recommender/rollout/states.py by `python -m recommender.rollout.diagram`; do not edit. -->

# The states of a workflow

A workflow is one plan on its way. `recommender/rollout/states.py` holds the table below as data; the API and the
reconciler move a workflow only along it, and anything else is refused with HTTP 409.
"""

_TAIL = """\
- **Before `canary` nothing has been touched**: whatever ends a workflow there leaves the engines as they were.
- **From `canary` on a workflow ends `succeeded`, `rolled_back` or `rollback_failed`**, also after a crash: the intent
  to change a replica is saved before it is touched and the receipt after, and its old configuration is saved before
  either. Worse, unknown and undecided all roll back; `cancel` does, too.
- **`rollback_failed` needs a person.** Its reason says what to do on which replica. `cancel` has the roll-back tried
  again.
- **Advice is born `advised`**: with a change that nobody can have carried out here (`withheld` says why), or with none.
- **A dry run ends `advised`**: what would be done is written down, and nothing is claimed to be verified.
- A canary is measured from 60 s after it became ready at the earliest (or `settle_seconds`, when longer): the signals
  are one-minute rates and would otherwise hold what happened before the restart.
"""


def page() -> str:
    """The page in Markdown, with a Mermaid diagram."""
    arrows = "\n".join(f"    {source} --> {target}: {trigger}" for (source, trigger), target in TRANSITIONS.items())
    ends = "\n".join(f"    {state} --> [*]" for state in sorted(TERMINAL))
    rows = "\n".join(f"| `{source}` | `{trigger}` | `{target}` |" for (source, trigger), target in TRANSITIONS.items())
    sets = "\n".join(
        f"- {what}: {', '.join(f'`{state}`' for state in sorted(states))}."
        for what, states in (
            ("Carried out by the reconciler, at most one a service", ACTIVE),
            ("Waiting for a person", WAITING_FOR_PERSON),
            ("Over", TERMINAL),
        )
    )
    return (
        f"{_HEAD}\n```mermaid\nstateDiagram-v2\n    [*] --> pending_approval\n    [*] --> advised\n"
        f"{arrows}\n{ends}\n```\n\n{sets}\n{_TAIL}\n| from | event | to |\n| --- | --- | --- |\n{rows}\n"
    )


if __name__ == "__main__":
    sys.stdout.write(page())
