"""What the paper does not set weight fixing beside, and what it gets wrong or leaves out."""

from collections.abc import Sequence

from reports.evidence.selection import Evidence
from reports.records.peer_files import PeerFile
from reports.verdicts.findings.of_the_paper import findings_of_the_paper
from reports.verdicts.findings.reviewers import beside_kmeans
from reports.verdicts.findings.rivals import beside_coders, folded_scales, without_training
from reports.verdicts.findings.two_networks import two_networks
from reports.verdicts.judgement import Finding


def findings(evidence: Evidence, peers: Sequence[PeerFile] = ()) -> list[Finding]:
    """All findings, the weightiest first."""
    return [
        without_training(evidence),
        beside_coders(evidence, peers),
        beside_kmeans(evidence),
        folded_scales(evidence),
        *two_networks(evidence),
        *findings_of_the_paper(evidence),
    ]
