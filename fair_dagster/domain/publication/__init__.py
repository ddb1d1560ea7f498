"""Desired state: which items should exist, and how the catalog differs from that. Pure."""
