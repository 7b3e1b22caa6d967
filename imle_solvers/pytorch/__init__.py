"""What PyTorch asks of tensor code: its compiler, its transforms, temporaries of bounded size. For all tensor code."""
