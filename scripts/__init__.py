"""Tools for developers and operators that are no part of the library."""
