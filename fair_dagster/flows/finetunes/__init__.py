"""Finetunes: checked, allocated, trained, compared."""
