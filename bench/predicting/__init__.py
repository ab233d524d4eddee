"""What bench/predict.py and bench/limit.py are made of: pictures and a model, the ways that are compared, limits, scale."""
