"""The git repository that base models are contributed in: its branch, its commits, checkouts of them.

Knows files and commits, not base models.
"""
