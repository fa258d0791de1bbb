//! A herd in a box: the rules of `proto` under virtual time, with faults, from a seed.
