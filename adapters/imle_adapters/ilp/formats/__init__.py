"""Programs as files and models hold them, and their readers. For `ILPSpec`."""
