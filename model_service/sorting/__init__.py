"""What sort is made of: which objects arrive, what their labels are, and where each of them goes."""
