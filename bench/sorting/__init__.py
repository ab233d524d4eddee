"""What bench/sort.py is made of: its pictures, the buckets on a test server, the ways that are compared, and memory."""
