"""The rules of the claims of PWFN and of Cluster-on-the-Fly PWFN, whose method here is a reconstruction."""
