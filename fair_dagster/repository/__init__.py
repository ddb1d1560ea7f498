"""The git repository that base models are contributed in."""
