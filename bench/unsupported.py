"""What a peer raises that cannot do what is asked: its place in the table stays a dash, and the rest goes on."""


class Unsupported(Exception):
    pass
