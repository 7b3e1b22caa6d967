"""The solvers behind `ILPAdapter`, one a file, all of which minimise costs over a program. For the adapter."""
