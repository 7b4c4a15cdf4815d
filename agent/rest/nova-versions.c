/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the documents that tell clients which versions of Nova's API are spoken here. They read
 * them before they have a token. */

#include "answer.h"
#include "nova.h"
#include "request.h"

static JsonObject *
describe_version (Request *request)
{
  JsonObject *version = json_object_new ();
  JsonObject *link = json_object_new ();
  JsonArray *links = json_array_new ();
  g_autofree char *minimum = g_strdup_printf ("2.%d", NOVA_MINOR_MIN);
  g_autofree char *maximum = g_strdup_printf ("2.%d", NOVA_MINOR_MAX);
  g_autofree char *base = request_get_base (request);
  g_autofree char *address = g_strconcat (base, "/v2.1/", NULL);

  json_object_set_string_member (link, "rel", "self");
  json_object_set_string_member (link, "href", address);
  json_array_add_object_element (links, link);

  json_object_set_string_member (version, "id", "v2.1");
  json_object_set_string_member (version, "status", "CURRENT");
  json_object_set_string_member (version, "version", maximum);
  json_object_set_string_member (version, "min_version", minimum);
  /* When Nova's v2.1 was defined, which is what its own document says. */
  json_object_set_string_member (version, "updated", "2013-07-23T11:33:21Z");
  json_object_set_array_member (version, "links", links);
  return version;
}

/**
 * nova_versions_list:
 * @request: (transfer full): GET /
 */
void
nova_versions_list (Request *request)
{
  g_autoptr (JsonArray) versions = json_array_new ();

  json_array_add_object_element (versions, describe_version (request));
  request_answer (request, SOUP_STATUS_OK,
                  answer_wrap ("versions", json_node_init_array (json_node_alloc (), versions)));
}

/**
 * nova_version_show:
 * @request: (transfer full): GET /v2.1
 */
void
nova_version_show (Request *request)
{
  g_autoptr (JsonObject) version = describe_version (request);
  JsonArray *types = json_array_new ();
  JsonObject *type = json_object_new ();

  json_object_set_string_member (type, "base", "application/json");
  json_object_set_string_member (type, "type",
                                 "application/vnd.openstack.compute+json;version=2.1");
  json_array_add_object_element (types, type);
  json_object_set_array_member (version, "media-types", types);
  request_answer (request, SOUP_STATUS_OK,
                  answer_wrap ("version", json_node_init_object (json_node_alloc (), version)));
}
