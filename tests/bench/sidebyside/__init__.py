"""The side-by-side measurement. `main` has the order of things; `columns` what is measured; `peers` what it is measured on."""
