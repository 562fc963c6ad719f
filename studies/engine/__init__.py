"""What carries studies out: plan, queue of trials, workers, launcher, figures. Only here is Optuna used."""
