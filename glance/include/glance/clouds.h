/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* One entry of a clouds.yaml, which is where those who use OpenStack keep whom they are. Plain
 * data; the secrets in it are wiped when it is freed. */

typedef enum
{
  GLANCE_CLOUD_PASSWORD,
  GLANCE_CLOUD_APPLICATION_CREDENTIAL,
} GlanceCloudKind;

typedef struct
{
  char            *name;
  GlanceCloudKind  kind;

  char            *auth_url;            /* without a slash at the end */
  char            *user_id;             /* all of these (nullable): see glance_cloud_load() */
  char            *username;
  char            *user_domain_id;
  char            *user_domain_name;
  char            *password;
  char            *project_id;
  char            *project_name;
  char            *project_domain_id;
  char            *project_domain_name;
  char            *application_credential_id;
  char            *application_credential_name;
  char            *application_credential_secret;

  char            *region;              /* (nullable) */
  char            *interface;           /* "public", "internal" or "admin" */
  char            *image_url;           /* (nullable): in place of what the catalogue says */
  char            *ca_file;             /* (nullable) */

  char           **warnings;            /* what whoever wrote the files should know */
} GlanceCloud;

/* @file: (nullable): a clouds.yaml; otherwise the first one that OpenStack's own tools would take,
 * but none of the current folder. */
GlanceCloud *glance_cloud_load (const char *file, const char *name, GError **error)
                                G_GNUC_WARN_UNUSED_RESULT;
void         glance_cloud_free (GlanceCloud *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GlanceCloud, glance_cloud_free)

G_END_DECLS
