"""The pages of Management that belong to the pair: Failover and Security. Mounted at /login/management/."""

from django.urls import include, path

from sync.views import backup_settings, data_syncs, failover, live, security, shared_ips, versions

failover_patterns = [
    path("", failover.page, name="page"),
    path("live/", live.live, name="live"),
    path("establish/", failover.establish, name="establish"),
    path("sync-now/", failover.sync_now, name="sync-now"),
    path("allow-deletion/", failover.allow_deletion, name="allow-deletion"),
    path("forbid-deletion/", failover.forbid_deletion, name="forbid-deletion"),
    path("data-syncs/", data_syncs.data_syncs, name="data-syncs"),
    path("data-syncs/verify/", data_syncs.verify_files, name="verify-files"),
    path("role-change/", failover.change_role, name="role-change"),
    path("role-change/cancel/", failover.cancel, name="cancel"),
    path("serve-again/", failover.serve_again, name="serve-again"),
    path("fix/", failover.fix, name="fix"),
    path("differences/", versions.differences, name="differences"),
    path("backups/", versions.backups, name="backups"),
    path("backups/<uuid:key>/", versions.backup, name="backup"),
    path("break/", failover.break_relationship, name="break"),
    path("shared-ips/", shared_ips.save, name="shared-ips"),
    path("backup-settings/", failover.backup_settings, name="backup-settings"),
    path("backup-settings/check/", backup_settings.check, name="check-settings"),
]

urlpatterns = [
    path("failover/", include((failover_patterns, "failover"))),
    path("security/", include(([path("", security.key, name="key")], "security"))),
]
