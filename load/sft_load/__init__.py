"""Load for a server of this protocol: light clients, and the measures of what a run was worth."""
