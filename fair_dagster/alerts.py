"""Telling a webhook what went wrong."""
