"""The stacks of an environment, in the order in which they stand on each other: foundation, data, app, observe; edge and access stand alone."""
