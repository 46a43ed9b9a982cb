"""The programs of Klever's converters. They run with the Python of their environment, without Klever."""
