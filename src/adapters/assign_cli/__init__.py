"""assign-core on the command line: ask the policy about a stored result, a reason's text, a recorded history.

Nothing here decides anything. A command reads what it is given, asks :mod:`assign_core`, and says the answer twice:
in words and tables for people, as JSON for programs. What it is given may be wrong, and that is worth one line: what
was wrong, with which value, and what to do.

The rooms: :mod:`~assign_cli.app` (the group, and how a command ends), :mod:`~assign_cli.inputs` (files and times),
:mod:`~assign_cli.settings` (a policy from a file), :mod:`~assign_cli.terminal` (what is safe to print). Then one for
each command; behind ``replay`` stand :mod:`~assign_cli.history` (reading), :mod:`~assign_cli.replaying` and
:mod:`~assign_cli.projection` (computing), :mod:`~assign_cli.summary` and :mod:`~assign_cli.report` (telling).
"""
