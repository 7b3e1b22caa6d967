"""Problems on graphs: networks, shortest paths, spanning trees, rooted ones."""
