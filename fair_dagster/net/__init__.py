"""What reaches outside of the process: guarded fetching, addresses, small files, processes. Knows no format."""
