def info() -> None:
    """x"""
