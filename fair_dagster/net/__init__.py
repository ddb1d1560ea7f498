"""The network and the disk below everything else: guarded requests, addresses, and small files written in one step."""
