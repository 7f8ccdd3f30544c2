"""The programs of the guest side, by name: ``python -I -S runners PROGRAM ARGUMENT``."""

import sys


def main(program: str, descriptor: int) -> None:
    """Run one of them. Each is imported only where it runs."""
    match program:
        case "keeper":
            import keeper

            keeper.main(descriptor)
        case "zygote":
            import zygote

            zygote.main(descriptor)
        case "guest":
            import guest

            guest.main(descriptor)
        case _:
            sys.exit(f"no such program: {program}")


main(sys.argv[1], int(sys.argv[2]))
