"""The layer for front ends whose arrays are not torch's: estimators and losses as they are, numpy in and numpy out.

Their compiled programs call back to the host, once in the forward pass and once in the backward pass, and keep nothing
there in between. So a pass takes all it needs as arguments: noise comes from a seed, and the backward pass draws it
again; solutions of the forward pass come back with the downstream gradient. For front ends, not for users.
"""
