"""Pure array functions: numpy in, numpy out; no files, no logging, no clock, no global state."""
