"""Networks, geometry, assets and engines: everything that computes, nothing that streams."""
