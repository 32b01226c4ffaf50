BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'old');
INSERT INTO "studies" VALUES(2,'limited');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MAXIMIZE',2,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["accuracy"]');
INSERT INTO "study_system_attributes" VALUES(2,2,'study:metric_names','["accuracy"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'fingerprint','{"model.c1.kind": "plain", "model.c1.layers": 1, "model.c1.residual": false, "model.c2.kind": "plain", "model.c2.layers": 2, "model.c2.residual": true, "model.c3.kind": "dilated", "model.c3.dilation": 2, "model.c3.layers": 2, "model.c3.residual": true, "model.c4.kind": "separable", "model.c4.dilation": 1, "model.c4.layers": 2, "model.c4.residual": true, "model.t1.kind": "strided", "model.t3.kind": "strided", "model.multipliers": [1, 1, 2, 3], "model.depth": 1, "model.activation": "relu", "model.head": "linear", "downsample.kind": "strided", "limits.params_below": null, "limits.receptive_field_above": null, "limits.separable_at_least": 0, "limits.dilated_at_least": 0, "limits.downsamplers": null, "limits.fully_connected": true, "limits.augment": [], "limits.target_accuracy": null, "data.name": "shapes", "data.validation": 5800, "data.split_seed": 0, "augment.pad_crop.p": 0, "augment.pad_crop.padding": 4, "augment.horizontal_flip.p": 0.5, "augment.shift_scale_rotate.p": 0.25, "augment.shift_scale_rotate.shift": 0.0625, "augment.shift_scale_rotate.scale": 0.05, "augment.shift_scale_rotate.rotate": 15, "augment.colour_jitter.p": 0, "augment.colour_jitter.brightness": 0.3, "augment.colour_jitter.contrast": 0.3, "augment.colour_jitter.saturation": 0.3, "augment.colour_jitter.hue": 0.2, "augment.grayscale.p": 0, "augment.coarse_dropout.p": 0.15, "augment.coarse_dropout.size": 16, "training.epochs": 2, "training.batch_size": 50, "training.optimizer": "sgd", "training.lr": 0.25, "training.momentum": 0.9, "training.cycle_momentum": null, "training.weight_decay": 0.0005, "training.schedule": "onecycle", "training.warmup": 0.3, "training.label_smoothing": 0.1, "training.ema": 0.998, "training.clip": null, "seed": 0, "objectives": ["accuracy"], "space": {"model.width": "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [4, 6]}}", "downsample@model.t2": "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [\"strided\", \"dilated\"]}}"}, "sampler": {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 10, "multivariate": true, "group": true, "constant_liar": true}, "pruner": {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 5, "n_warmup_steps": 2}}');
INSERT INTO "study_user_attributes" VALUES(2,2,'fingerprint','{"model.c1.kind": "plain", "model.c1.layers": 1, "model.c1.residual": false, "model.c2.kind": "plain", "model.c2.layers": 2, "model.c2.residual": true, "model.c3.kind": "dilated", "model.c3.dilation": 2, "model.c3.layers": 2, "model.c3.residual": true, "model.t1.kind": "strided", "model.t2.kind": "strided", "model.t3.kind": "strided", "model.multipliers": [1, 1, 2, 3], "model.depth": 1, "model.activation": "relu", "model.head": "linear", "downsample.kind": "strided", "limits.params_below": 200000, "limits.receptive_field_above": 44, "limits.separable_at_least": 1, "limits.dilated_at_least": 1, "limits.downsamplers": 3, "limits.fully_connected": true, "limits.augment": ["horizontal_flip", "shift_scale_rotate", "coarse_dropout"], "limits.target_accuracy": 0.85, "data.name": "shapes", "data.validation": 5800, "data.split_seed": 0, "augment.pad_crop.p": 0, "augment.pad_crop.padding": 4, "augment.horizontal_flip.p": 0.5, "augment.shift_scale_rotate.p": 0.25, "augment.shift_scale_rotate.shift": 0.0625, "augment.shift_scale_rotate.scale": 0.05, "augment.shift_scale_rotate.rotate": 15, "augment.colour_jitter.p": 0, "augment.colour_jitter.brightness": 0.3, "augment.colour_jitter.contrast": 0.3, "augment.colour_jitter.saturation": 0.3, "augment.colour_jitter.hue": 0.2, "augment.grayscale.p": 0, "augment.coarse_dropout.p": 0.15, "augment.coarse_dropout.size": 16, "training.epochs": 1, "training.batch_size": 50, "training.optimizer": "sgd", "training.lr": 0.25, "training.momentum": 0.9, "training.cycle_momentum": null, "training.weight_decay": 0.0005, "training.schedule": "onecycle", "training.warmup": 0.3, "training.label_smoothing": 0.1, "training.ema": 0.998, "training.clip": null, "seed": 0, "objectives": ["accuracy"], "space": {"model.width": "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [8, 64]}}", "block@model.c4": "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [\"plain\", \"separable\"]}}"}, "sampler": {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 10, "multivariate": true, "group": true, "constant_liar": true}, "pruner": {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 5, "n_warmup_steps": 2}}');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_heartbeats" VALUES(1,1,'2026-11-25 06:59:32');
INSERT INTO "trial_heartbeats" VALUES(2,2,'2026-11-25 06:59:47');
INSERT INTO "trial_heartbeats" VALUES(3,3,'2026-11-25 06:59:52');
INSERT INTO "trial_heartbeats" VALUES(4,4,'2026-11-25 06:59:56');
INSERT INTO "trial_heartbeats" VALUES(5,6,'2026-11-25 07:00:07');
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,0.1,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,1,2,0.1,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,2,1,0.1,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,2,1.02758620689655175151e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,3,1,1.00862068965517234775e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,3,2,9.6034482758620684506e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,4,1,9.41379310344827580081e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,4,2,9.75862068965517304164e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,6,1,0.1,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'model.width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6]}}');
INSERT INTO "trial_params" VALUES(2,1,'downsample@model.t2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["strided", "dilated"]}}');
INSERT INTO "trial_params" VALUES(3,2,'model.width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6]}}');
INSERT INTO "trial_params" VALUES(4,2,'downsample@model.t2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["strided", "dilated"]}}');
INSERT INTO "trial_params" VALUES(5,3,'model.width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6]}}');
INSERT INTO "trial_params" VALUES(6,3,'downsample@model.t2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["strided", "dilated"]}}');
INSERT INTO "trial_params" VALUES(7,4,'model.width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6]}}');
INSERT INTO "trial_params" VALUES(8,4,'downsample@model.t2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["strided", "dilated"]}}');
INSERT INTO "trial_params" VALUES(9,5,'model.width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 64]}}');
INSERT INTO "trial_params" VALUES(10,5,'block@model.c4',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["plain", "separable"]}}');
INSERT INTO "trial_params" VALUES(11,6,'model.width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 64]}}');
INSERT INTO "trial_params" VALUES(12,6,'block@model.c4',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["plain", "separable"]}}');
INSERT INTO "trial_params" VALUES(13,7,'model.width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 64]}}');
INSERT INTO "trial_params" VALUES(14,7,'block@model.c4',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["plain", "separable"]}}');
INSERT INTO "trial_params" VALUES(15,8,'model.width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 64]}}');
INSERT INTO "trial_params" VALUES(16,8,'block@model.c4',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["plain", "separable"]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'fixed_params','{"model.width": 4, "downsample@model.t2": "strided"}');
INSERT INTO "trial_system_attributes" VALUES(2,1,'constraints:limits','0.0');
INSERT INTO "trial_system_attributes" VALUES(3,1,'constraints','[0]');
INSERT INTO "trial_system_attributes" VALUES(4,1,'artifacts:1620a908-25fc-4657-b584-a693c4d42b7b','"{\"artifact_id\": \"1620a908-25fc-4657-b584-a693c4d42b7b\", \"filename\": \"curves.png\", \"mimetype\": \"image/png\", \"encoding\": null}"');
INSERT INTO "trial_system_attributes" VALUES(5,1,'artifacts:23ce9bc4-1571-4243-8f63-d15e8226565a','"{\"artifact_id\": \"23ce9bc4-1571-4243-8f63-d15e8226565a\", \"filename\": \"misclassified.png\", \"mimetype\": \"image/png\", \"encoding\": null}"');
INSERT INTO "trial_system_attributes" VALUES(6,2,'fixed_params','{"model.width": 4, "downsample@model.t2": "dilated"}');
INSERT INTO "trial_system_attributes" VALUES(7,2,'constraints:limits','0.0');
INSERT INTO "trial_system_attributes" VALUES(8,2,'constraints','[0]');
INSERT INTO "trial_system_attributes" VALUES(9,2,'artifacts:ee30f95d-fedd-4d1f-b093-c738352af894','"{\"artifact_id\": \"ee30f95d-fedd-4d1f-b093-c738352af894\", \"filename\": \"curves.png\", \"mimetype\": \"image/png\", \"encoding\": null}"');
INSERT INTO "trial_system_attributes" VALUES(10,2,'artifacts:cccd795e-4385-4e0b-853f-a8ce88e63a13','"{\"artifact_id\": \"cccd795e-4385-4e0b-853f-a8ce88e63a13\", \"filename\": \"misclassified.png\", \"mimetype\": \"image/png\", \"encoding\": null}"');
INSERT INTO "trial_system_attributes" VALUES(11,3,'fixed_params','{"model.width": 6, "downsample@model.t2": "strided"}');
INSERT INTO "trial_system_attributes" VALUES(12,3,'constraints:limits','0.0');
INSERT INTO "trial_system_attributes" VALUES(13,3,'constraints','[0]');
INSERT INTO "trial_system_attributes" VALUES(14,3,'artifacts:58a9660c-1d2c-43ec-a5d7-e688f49e452e','"{\"artifact_id\": \"58a9660c-1d2c-43ec-a5d7-e688f49e452e\", \"filename\": \"curves.png\", \"mimetype\": \"image/png\", \"encoding\": null}"');
INSERT INTO "trial_system_attributes" VALUES(15,3,'artifacts:4a9420ce-2ddc-443a-84e4-c1133f66c99b','"{\"artifact_id\": \"4a9420ce-2ddc-443a-84e4-c1133f66c99b\", \"filename\": \"misclassified.png\", \"mimetype\": \"image/png\", \"encoding\": null}"');
INSERT INTO "trial_system_attributes" VALUES(16,4,'fixed_params','{"model.width": 6, "downsample@model.t2": "dilated"}');
INSERT INTO "trial_system_attributes" VALUES(17,4,'constraints:limits','0.0');
INSERT INTO "trial_system_attributes" VALUES(18,4,'constraints','[0]');
INSERT INTO "trial_system_attributes" VALUES(19,4,'artifacts:75e5a882-c998-4fb6-a1fe-22352852f022','"{\"artifact_id\": \"75e5a882-c998-4fb6-a1fe-22352852f022\", \"filename\": \"curves.png\", \"mimetype\": \"image/png\", \"encoding\": null}"');
INSERT INTO "trial_system_attributes" VALUES(20,4,'artifacts:bd28dd8d-baf7-4dec-b406-e4597846549d','"{\"artifact_id\": \"bd28dd8d-baf7-4dec-b406-e4597846549d\", \"filename\": \"misclassified.png\", \"mimetype\": \"image/png\", \"encoding\": null}"');
INSERT INTO "trial_system_attributes" VALUES(21,5,'fixed_params','{"model.width": 8, "block@model.c4": "plain"}');
INSERT INTO "trial_system_attributes" VALUES(22,5,'constraints:limits','2.0');
INSERT INTO "trial_system_attributes" VALUES(23,5,'constraints','[2.0]');
INSERT INTO "trial_system_attributes" VALUES(24,6,'fixed_params','{"model.width": 8, "block@model.c4": "separable"}');
INSERT INTO "trial_system_attributes" VALUES(25,6,'constraints:limits','0.0');
INSERT INTO "trial_system_attributes" VALUES(26,6,'constraints','[0]');
INSERT INTO "trial_system_attributes" VALUES(27,6,'artifacts:ca1ec499-bb8c-4e0f-a6b5-fb71432eac59','"{\"artifact_id\": \"ca1ec499-bb8c-4e0f-a6b5-fb71432eac59\", \"filename\": \"curves.png\", \"mimetype\": \"image/png\", \"encoding\": null}"');
INSERT INTO "trial_system_attributes" VALUES(28,6,'artifacts:2a1c8b12-9269-42a0-9357-5c93538401e7','"{\"artifact_id\": \"2a1c8b12-9269-42a0-9357-5c93538401e7\", \"filename\": \"misclassified.png\", \"mimetype\": \"image/png\", \"encoding\": null}"');
INSERT INTO "trial_system_attributes" VALUES(29,7,'fixed_params','{"model.width": 64, "block@model.c4": "plain"}');
INSERT INTO "trial_system_attributes" VALUES(30,7,'constraints:limits','6.189495');
INSERT INTO "trial_system_attributes" VALUES(31,7,'constraints','[6.189495]');
INSERT INTO "trial_system_attributes" VALUES(32,8,'fixed_params','{"model.width": 64, "block@model.c4": "separable"}');
INSERT INTO "trial_system_attributes" VALUES(33,8,'constraints:limits','2.723575');
INSERT INTO "trial_system_attributes" VALUES(34,8,'constraints','[2.723575]');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'key','"367e9554fcab5724"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'params','3630');
INSERT INTO "trial_user_attributes" VALUES(3,1,'macs','335352');
INSERT INTO "trial_user_attributes" VALUES(4,1,'receptive_field','89');
INSERT INTO "trial_user_attributes" VALUES(5,1,'worker','"host-3814-1894ae"');
INSERT INTO "trial_user_attributes" VALUES(6,1,'folder','"outputs/sweeps/old/0"');
INSERT INTO "trial_user_attributes" VALUES(7,1,'seconds','14.921');
INSERT INTO "trial_user_attributes" VALUES(8,1,'epochs_done','2');
INSERT INTO "trial_user_attributes" VALUES(9,1,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(10,2,'key','"fd23e959d853b721"');
INSERT INTO "trial_user_attributes" VALUES(11,2,'params','3630');
INSERT INTO "trial_user_attributes" VALUES(12,2,'macs','335352');
INSERT INTO "trial_user_attributes" VALUES(13,2,'receptive_field','65');
INSERT INTO "trial_user_attributes" VALUES(14,2,'worker','"host-3814-1894ae"');
INSERT INTO "trial_user_attributes" VALUES(15,2,'folder','"outputs/sweeps/old/1"');
INSERT INTO "trial_user_attributes" VALUES(16,2,'seconds','3.92');
INSERT INTO "trial_user_attributes" VALUES(17,2,'epochs_done','2');
INSERT INTO "trial_user_attributes" VALUES(18,2,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(19,3,'key','"6a11171b280bc76f"');
INSERT INTO "trial_user_attributes" VALUES(20,3,'params','7708');
INSERT INTO "trial_user_attributes" VALUES(21,3,'macs','668916');
INSERT INTO "trial_user_attributes" VALUES(22,3,'receptive_field','89');
INSERT INTO "trial_user_attributes" VALUES(23,3,'worker','"host-3814-1894ae"');
INSERT INTO "trial_user_attributes" VALUES(24,3,'folder','"outputs/sweeps/old/2"');
INSERT INTO "trial_user_attributes" VALUES(25,3,'seconds','4.163');
INSERT INTO "trial_user_attributes" VALUES(26,3,'epochs_done','2');
INSERT INTO "trial_user_attributes" VALUES(27,3,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(28,4,'key','"63ddc0dfe0b4ba4e"');
INSERT INTO "trial_user_attributes" VALUES(29,4,'params','7708');
INSERT INTO "trial_user_attributes" VALUES(30,4,'macs','668916');
INSERT INTO "trial_user_attributes" VALUES(31,4,'receptive_field','65');
INSERT INTO "trial_user_attributes" VALUES(32,4,'worker','"host-3814-1894ae"');
INSERT INTO "trial_user_attributes" VALUES(33,4,'folder','"outputs/sweeps/old/3"');
INSERT INTO "trial_user_attributes" VALUES(34,4,'seconds','4.463');
INSERT INTO "trial_user_attributes" VALUES(35,4,'epochs_done','2');
INSERT INTO "trial_user_attributes" VALUES(36,4,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(37,5,'role','"rejected"');
INSERT INTO "trial_user_attributes" VALUES(38,5,'infeasible','"at least 1 depthwise-separable layer is required, got 0"');
INSERT INTO "trial_user_attributes" VALUES(39,5,'params','16850');
INSERT INTO "trial_user_attributes" VALUES(40,5,'macs','1170672');
INSERT INTO "trial_user_attributes" VALUES(41,5,'receptive_field','73');
INSERT INTO "trial_user_attributes" VALUES(42,6,'key','"f485f06808b02145"');
INSERT INTO "trial_user_attributes" VALUES(43,6,'params','12458');
INSERT INTO "trial_user_attributes" VALUES(44,6,'macs','1100400');
INSERT INTO "trial_user_attributes" VALUES(45,6,'receptive_field','73');
INSERT INTO "trial_user_attributes" VALUES(46,6,'worker','"host-3829-a71182"');
INSERT INTO "trial_user_attributes" VALUES(47,6,'folder','"outputs/sweeps/limited/1"');
INSERT INTO "trial_user_attributes" VALUES(48,6,'seconds','14.659');
INSERT INTO "trial_user_attributes" VALUES(49,6,'epochs_done','1');
INSERT INTO "trial_user_attributes" VALUES(50,6,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(51,7,'role','"rejected"');
INSERT INTO "trial_user_attributes" VALUES(52,7,'infeasible','"fewer than 200,000 trainable parameters are allowed, got 1,037,898; at least 1 depthwise-separable layer is required, got 0"');
INSERT INTO "trial_user_attributes" VALUES(53,7,'params','1037898');
INSERT INTO "trial_user_attributes" VALUES(54,7,'macs','62523264');
INSERT INTO "trial_user_attributes" VALUES(55,7,'receptive_field','73');
INSERT INTO "trial_user_attributes" VALUES(56,8,'role','"rejected"');
INSERT INTO "trial_user_attributes" VALUES(57,8,'infeasible','"fewer than 200,000 trainable parameters are allowed, got 744,714"');
INSERT INTO "trial_user_attributes" VALUES(58,8,'params','744714');
INSERT INTO "trial_user_attributes" VALUES(59,8,'macs','57832320');
INSERT INTO "trial_user_attributes" VALUES(60,8,'receptive_field','73');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.1,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,1.02758620689655175151e-01,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,9.6034482758620684506e-02,'FINITE');
INSERT INTO "trial_values" VALUES(4,4,0,9.75862068965517304164e-02,'FINITE');
INSERT INTO "trial_values" VALUES(5,6,0,0.1,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-25 06:59:32.659760','2026-11-25 06:59:47.869305');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-25 06:59:47.901521','2026-11-25 06:59:52.092426');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-25 06:59:52.120175','2026-11-25 06:59:56.561668');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-25 06:59:56.590502','2026-11-25 07:00:01.340495');
INSERT INTO "trials" VALUES(5,0,2,'PRUNED','2026-11-25 07:00:07.129438','2026-11-25 07:00:07.158537');
INSERT INTO "trials" VALUES(6,1,2,'COMPLETE','2026-11-25 07:00:07.183007','2026-11-25 07:00:22.147972');
INSERT INTO "trials" VALUES(7,2,2,'PRUNED','2026-11-25 07:00:22.176243','2026-11-25 07:00:22.195335');
INSERT INTO "trials" VALUES(8,3,2,'PRUNED','2026-11-25 07:00:22.214292','2026-11-25 07:00:22.234412');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
