"""The steps of runs that an operator sees, each a thin call of a flow."""
