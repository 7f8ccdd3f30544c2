"""The programs of the guest side, by name: ``python -I -S runners PROGRAM ARGUMENT``."""

import sys


def main(program: str, argument: str) -> None:
    """Run one of them. Each is imported only where it runs."""
    match program:
        case "keeper":
            import keeper

            keeper.main(int(argument))
        case "zygote":
            import zygote

            zygote.main(int(argument))
        case "guest":
            import guest

            guest.main(argument.split(":"))
        case "watcher":
            import watcher

            watcher.main(int(argument))
        case "container":
            import container

            container.main()
        case _:
            sys.exit(f"no such program: {program}")


main(sys.argv[1], sys.argv[2])
