"""What bench/train.py is made of: the same pictures as files and as shards, and the ways that are compared."""
