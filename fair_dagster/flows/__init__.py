"""The flows of the system: each joins pure rules with clients to do one thing a user asks for.

Dagster's ops and the ``Fair`` class call these and add nothing of their own. No Dagster here.

See docs/decisions/0004.
"""
