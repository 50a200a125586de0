"""The `tradewire` command, the local stack it runs, and the demo that shows the whole path.

Nothing is imported here: processes of the stack start from this package, and each would pay for the command's imports.
"""

__all__: list[str] = []
