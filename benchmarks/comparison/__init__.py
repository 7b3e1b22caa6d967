"""What `compare.py` is made of. Worker processes import `loops`, so nothing here may import torch."""
